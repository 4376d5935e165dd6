"""The test project's settings with real servers in mind: what seclog does is set by the environment."""

import os

from djangoapp.settings import *  # noqa: F403
from djangoapp.settings import INSTALLED_APPS, MIDDLEWARE
from djangoapp.settings import SECLOG as _SECLOG

ROOT_URLCONF = "faults.apps.urls"
ALLOWED_HOSTS = ["127.0.0.1", "testserver"]
FILE_UPLOAD_MAX_MEMORY_SIZE = 1024 * 1024
SECLOG = {key: value for key, value in _SECLOG.items() if key not in ("directory", "watch")}

if os.environ.get("FAULTS_BARE"):  # the same app without seclog, to compare with
    INSTALLED_APPS = [app for app in INSTALLED_APPS if "seclog" not in app]
    MIDDLEWARE = [name for name in MIDDLEWARE if "seclog" not in name]
