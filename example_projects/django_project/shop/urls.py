"""Where everything is."""

from django.contrib.auth import views as auth_views
from django.urls import path

from shop import api, views


def form(view, title):
    return view.as_view(template_name="shop/form.html", extra_context={"title": title})


def said(view, title):
    return view.as_view(template_name="shop/message.html", extra_context={"title": title})


urlpatterns = [
    path("", views.home, name="home"),
    path("signup/", views.signup, name="signup"),
    path("login/", views.Login.as_view(), name="login"),
    path("logout/", auth_views.LogoutView.as_view(), name="logout"),
    path("password/change/", form(auth_views.PasswordChangeView, "Change password"), name="password_change"),
    path("password/changed/", said(auth_views.PasswordChangeDoneView, "Changed"), name="password_change_done"),
    path("password/reset/", form(auth_views.PasswordResetView, "Forgot password"), name="password_reset"),
    path(
        "password/sent/",
        said(auth_views.PasswordResetDoneView, "Look at your mail"),
        name="password_reset_done",
    ),
    path(
        "password/reset/<uidb64>/<token>/",
        form(auth_views.PasswordResetConfirmView, "New password"),
        name="password_reset_confirm",
    ),
    path("password/done/", said(auth_views.PasswordResetCompleteView, "Done"), name="password_reset_complete"),
    path("orders/", views.orders, name="orders"),
    path("orders/invoices/", views.invoices, name="invoices"),
    path("orders/export/", views.export, name="export"),
    path("orders/<int:pk>/", views.order, name="order"),
    path("orders/<int:pk>/pay/", views.pay, name="pay"),
    path("orders/<int:pk>/invoice/", views.invoice, name="invoice"),
    path("orders/<int:pk>/refund/", views.refund, name="refund"),
    path("customers/<int:pk>/", views.customer, name="customer"),
    path("api/token/", api.ApiToken.as_view()),
    path("api/orders/", api.Orders.as_view()),
    path("api/customers/", api.Customers.as_view()),
    path("api/forecast/", api.Forecast.as_view()),
]
