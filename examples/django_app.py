"""A Django application behind the door, in one file. Run it with: gunicorn django_app:application."""

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

from doorward import Door, InvokerPolicy, Verifier

door = Door(
    Verifier(audience="https://orders-1234567890.europe-west1.run.app"),
    InvokerPolicy.from_file("policy.json"),
)

settings.configure(
    SECRET_KEY="replace this",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["doorward_integrations.django.DoorwardConfig"],
    MIDDLEWARE=["doorward_integrations.django.InvokerMiddleware"],
    DOORWARD_DOOR=door,
)


def orders(request):
    return HttpResponse(f"Hello, {request.principal}")


urlpatterns = [path("", orders)]
application = get_wsgi_application()
