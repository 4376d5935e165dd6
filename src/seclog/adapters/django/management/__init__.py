"""The project's commands that seclog brings: `manage.py seclog`."""
