"""The JSON API for partners: token in, orders out."""

from rest_framework import generics, serializers
from rest_framework.authentication import TokenAuthentication
from rest_framework.authtoken.models import Token
from rest_framework.authtoken.views import ObtainAuthToken
from rest_framework.permissions import IsAdminUser
from rest_framework.response import Response
from rest_framework.views import APIView

from shop.models import Customer, Order


class OrderSerializer(serializers.ModelSerializer):
    class Meta:
        model = Order
        fields = ["id", "item", "quantity", "price", "status"]
        read_only_fields = ["status"]


class Orders(generics.ListCreateAPIView):
    """The caller's own orders."""

    serializer_class = OrderSerializer

    def get_queryset(self):
        return Order.objects.filter(customer__user=self.request.user)

    def perform_create(self, serializer):
        serializer.save(customer=Customer.objects.get(user=self.request.user))


class Customers(generics.ListAPIView):
    """All customers' names, for staff."""

    permission_classes = [IsAdminUser]
    queryset = Customer.objects.order_by("pk")

    class serializer_class(serializers.ModelSerializer):
        class Meta:
            model = Customer
            fields = ["id", "name"]


class Forecast(APIView):
    """How many orders to expect. Broken on purpose: a shop without a bug would not be believable."""

    def get(self, request):
        months_observed = 0
        return Response({"orders_per_month": Order.objects.count() / months_observed})


class ApiToken(ObtainAuthToken):
    """POST name and password for a token; DELETE gives the token back."""

    authentication_classes = [TokenAuthentication]
    http_method_names = ["post", "delete"]

    def delete(self, request):
        Token.objects.filter(user=request.user).first().delete()
        return Response(status=204)
