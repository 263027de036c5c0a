"""What an audit looks like: text, HTML, JSON. Knows the records alone; imports no torch."""
