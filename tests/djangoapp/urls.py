"""The default URLs: none. Test modules use `pytestmark = pytest.mark.urls(__name__)`."""

urlpatterns: list[object] = []
