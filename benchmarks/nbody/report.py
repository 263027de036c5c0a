"""The page."""


def write_page(folder):
    return folder
