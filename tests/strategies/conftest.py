"""Without hypothesis there is nothing to collect here."""

import importlib.util

collect_ignore_glob = [] if importlib.util.find_spec("hypothesis") else ["*.py"]
