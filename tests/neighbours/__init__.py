"""The Django project in which the libraries around Django are tested, in a process of its own."""
