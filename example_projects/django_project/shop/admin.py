"""The back office."""

from django.contrib import admin

from shop.models import Customer, Order, StoreSettings


@admin.register(Order)
class OrderAdmin(admin.ModelAdmin):
    list_display = ["__str__", "customer", "price", "status"]
    list_filter = ["status"]
    actions = ["mark_shipped"]

    @admin.action(description="Mark as shipped", permissions=["change"])
    def mark_shipped(self, request, queryset):
        shipped = queryset.update(status=Order.Status.SHIPPED)
        self.message_user(request, f"{shipped} orders are on their way.")


@admin.register(Customer)
class CustomerAdmin(admin.ModelAdmin):
    list_display = ["name", "user"]


admin.site.register(StoreSettings)
