"""What visitors type."""

from datetime import date

from django import forms
from django.contrib.auth.forms import AuthenticationForm


class LoginForm(AuthenticationForm):
    public_computer = forms.BooleanField(required=False, label="This is a public computer: log me out soon")


class SignupForm(forms.Form):
    username = forms.SlugField(max_length=30)
    email = forms.EmailField()
    password = forms.CharField(widget=forms.PasswordInput, min_length=10)
    newsletter = forms.BooleanField(required=False)


class PaymentForm(forms.Form):
    card_number = forms.RegexField(r"^\d{16}$")
    cvv = forms.RegexField(r"^\d{3}$")
    valid_until = forms.DateField()
    note = forms.CharField(required=False)

    def clean_valid_until(self):
        if self.cleaned_data["valid_until"] < date.today():
            raise forms.ValidationError("This card has expired.", code="expired")
        return self.cleaned_data["valid_until"]
