"""One file per third-party library, loaded only if the library is. Django REST framework is the first."""
