"""Models that the adapter's tests watch."""

from django.db import models


class StoreSettings(models.Model):
    """Configuration in the database: named in SECLOG["watch_models"]."""

    name = models.CharField(max_length=50)
    tax_rate = models.DecimalField(max_digits=5, decimal_places=2, default=19)
    payment_api_key = models.CharField(max_length=100, default="")
    enabled = models.BooleanField(default=True)

    class Meta:
        app_label = "djangoapp"


class Order(models.Model):
    """Ordinary data: not watched."""

    number = models.CharField(max_length=20)
    total = models.IntegerField(default=0)

    class Meta:
        app_label = "djangoapp"
        permissions = [("refund_order", "Can refund an order")]
