"""`manage.py seed`: the people, the orders and the settings of the shop's first day."""

import json
import sys
from secrets import token_urlsafe

from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command
from django.core.management.base import BaseCommand

from shop.models import Customer, Order, StoreSettings

PEOPLE = ["olga", "sam", "ana", "bob"]
CUSTOMERS = {"ana": ("Ana Alvarez", "1 Orchard Row"), "bob": ("Bob Brandt", "2 Mill Lane")}
WALK_INS = ["Walk-in 1", "Walk-in 2", "Walk-in 3"]
ORDERS = [
    ("ana", "Tea pot", 1, "24.90"),
    ("ana", "Cup", 4, "6.50"),
    ("bob", "Lamp", 1, "39.00"),
    ("bob", "Rug", 2, "55.00"),
]
SUPPORT = ["view_customer", "view_order", "change_order", "refund_order"]


class Command(BaseCommand):
    help = "Create and fill the database. Reads {user name: password} as JSON from standard input."

    def add_arguments(self, parser):
        parser.add_argument("--generate", action="store_true", help="make up the passwords and print them")

    def handle(self, *args, generate, **options):
        passwords = {name: token_urlsafe(9) for name in PEOPLE} if generate else json.load(sys.stdin)
        call_command("migrate", verbosity=0)
        support = Group.objects.create(name="support")
        support.permissions.set(Permission.objects.filter(content_type__app_label="shop", codename__in=SUPPORT))
        owner = User.objects.create_superuser("olga", "olga@example.org", passwords["olga"])
        staff = User.objects.create_user("sam", "sam@example.org", passwords["sam"], is_staff=True)
        staff.groups.add(support)
        ids = {"olga": owner.pk, "sam": staff.pk, "support": support.pk}

        customers = {}
        for name, (full_name, address) in CUSTOMERS.items():
            user = User.objects.create_user(name, f"{name}@example.org", passwords[name])
            customers[name] = Customer.objects.create(user=user, name=full_name, address=address)
            ids |= {name: user.pk, f"{name}_customer": customers[name].pk}
        for number, name in enumerate(WALK_INS, 1):
            ids[f"walk_in_{number}"] = Customer.objects.create(name=name).pk
        for number, (name, item, quantity, price) in enumerate(ORDERS, 1):
            order = Order.objects.create(customer=customers[name], item=item, quantity=quantity, price=price)
            ids[f"order_{number}"] = order.pk
        ids["settings"] = StoreSettings.objects.create(
            name="Corner Shop",
            tax_rate="19.00",
            payment_api_key=passwords.get("payment_api_key", token_urlsafe(24)),
        ).pk
        self.stdout.write(json.dumps(ids | ({"passwords": passwords} if generate else {})))
