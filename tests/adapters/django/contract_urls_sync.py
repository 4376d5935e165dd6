"""The contract app's URLs, with sync handlers as the native kind."""

from adapters.django.contract_app import SyncUrls

urlpatterns = SyncUrls.urlpatterns
