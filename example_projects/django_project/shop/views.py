"""The pages. Only three of them mention seclog: where the hooks cannot know what the data means."""

import csv

from django.conf import settings
from django.contrib.auth import views as auth_views
from django.contrib.auth.decorators import login_required, permission_required
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

import seclog
from shop.forms import LoginForm, PaymentForm, SignupForm
from shop.models import Customer, Order


def home(request):
    return render(request, "shop/home.html")


class Login(auth_views.LoginView):
    template_name = "shop/form.html"
    form_class = LoginForm
    extra_context = {"title": "Log in"}

    def form_valid(self, form):
        response = super().form_valid(form)
        if form.cleaned_data["public_computer"]:
            self.request.session.set_expiry(settings.PUBLIC_COMPUTER_SECONDS)
        return response


def signup(request):
    form = SignupForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        data = form.cleaned_data
        user = User.objects.create_user(data["username"], data["email"], data["password"])
        Customer.objects.create(user=user, name=user.username)
        return redirect("login")
    return render(request, "shop/form.html", {"form": form, "title": "Sign up"}, status=400 if form.errors else 200)


# ── a customer's own orders ───────────────────────────────────────────────────────────────────────


def own_orders(request):
    return Order.objects.filter(customer__user=request.user)


def own_order(request, pk):
    """Return the order if it is the visitor's own, or the visitor may see all."""
    order = get_object_or_404(Order, pk=pk)
    if order.customer.user_id != request.user.pk and not request.user.has_perm("shop.view_order"):
        raise PermissionDenied("not your order")
    return order


@login_required
def orders(request):
    return render(request, "shop/orders.html", {"orders": own_orders(request)})


@login_required
def order(request, pk):
    return render(request, "shop/order.html", {"order": own_order(request, pk)})


@login_required
def pay(request, pk):
    order = own_order(request, pk)
    form = PaymentForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        own_orders(request).filter(pk=order.pk).update(status=Order.Status.PAID)
        return redirect("order", pk)
    title = f"Pay order {order}"
    return render(request, "shop/form.html", {"form": form, "title": title}, status=400 if form.errors else 200)


def invoice_text(order):
    return f"Corner Shop\nInvoice {order.pk}\n{order.quantity} x {order.item}\nTotal {order.total}\n\n"


@login_required
def invoice(request, pk):
    return HttpResponse(invoice_text(own_order(request, pk)), headers=attachment(f"invoice-{pk}.txt"))


@login_required
def invoices(request):
    """All invoices of the visitor in one file, streamed."""
    return StreamingHttpResponse(map(invoice_text, own_orders(request)), headers=attachment("invoices.txt"))


def attachment(name, content_type="text/plain"):
    return {"Content-Type": content_type, "Content-Disposition": f'attachment; filename="{name}"'}


# ── support ───────────────────────────────────────────────────────────────────────────────────────


@permission_required("shop.view_customer", raise_exception=True)
@seclog.sensitive("customer", id_kwarg="pk")
def customer(request, pk):
    return render(request, "shop/customer.html", {"customer": get_object_or_404(Customer, pk=pk)})


@permission_required("shop.view_order", raise_exception=True)
@seclog.export("orders", rows=lambda response: response.rows, format="csv")
def export(request):
    response = HttpResponse(headers=attachment("orders.csv", "text/csv"))
    writer = csv.writer(response)
    rows = Order.objects.values_list("pk", "customer__name", "item", "quantity", "price", "status")
    writer.writerows(rows)
    response.rows = len(rows)
    return response


@require_POST
@permission_required("shop.refund_order", raise_exception=True)
@seclog.admin_action("refund", target_type="order", id_kwarg="pk")
def refund(request, pk):
    order = get_object_or_404(Order, pk=pk)
    order.status = Order.Status.REFUNDED
    order.save()
    return redirect("order", pk)
