"""What the shop knows: customers, their orders, and its own settings."""

from django.conf import settings
from django.db import models


class Customer(models.Model):
    """A customer's record. Address and birthday are personal data: who reads them is recorded."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True)
    name = models.CharField(max_length=80)
    address = models.CharField(max_length=200, blank=True)
    birthday = models.DateField(null=True, blank=True)

    def __str__(self) -> str:
        return self.name


class Order(models.Model):
    """An order. Staff with the permission may refund it."""

    class Status(models.TextChoices):
        OPEN = "open"
        PAID = "paid"
        SHIPPED = "shipped"
        REFUNDED = "refunded"

    customer = models.ForeignKey(Customer, models.CASCADE, related_name="orders")
    item = models.CharField(max_length=80)
    quantity = models.PositiveSmallIntegerField(default=1)
    price = models.DecimalField(max_digits=8, decimal_places=2)
    status = models.CharField(max_length=10, choices=Status, default=Status.OPEN)

    class Meta:
        ordering = ["pk"]
        permissions = [("refund_order", "Can refund an order")]

    def __str__(self) -> str:
        return f"#{self.pk} {self.quantity} × {self.item}"

    @property
    def total(self):
        return self.quantity * self.price


class StoreSettings(models.Model):
    """The shop's configuration, edited in the admin; named in SECLOG["watch_models"]."""

    name = models.CharField(max_length=50)
    tax_rate = models.DecimalField(max_digits=4, decimal_places=2)
    free_shipping_from = models.PositiveIntegerField(default=50)
    payment_api_key = models.CharField(max_length=100, blank=True)

    class Meta:
        verbose_name_plural = "store settings"

    def __str__(self) -> str:
        return self.name
