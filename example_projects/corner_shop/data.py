"""What the shop keeps: SQLAlchemy on SQLite; passwords and tokens as hashes. No secret stands in the code."""

import csv
import hashlib
import io
import os
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from email.message import EmailMessage
from hmac import compare_digest
from pathlib import Path
from secrets import token_bytes, token_hex, token_urlsafe

from itsdangerous import BadData, URLSafeTimedSerializer
from sqlalchemy import JSON, Column, ForeignKey, Numeric, Table, create_engine, event, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship

STATE = Path(os.environ.get("DEMO_STATE") or Path(__file__).resolve().parents[2] / ".demo" / "shop")
"""seclog's directory: the journal is in STATE/journal, the shop's own things are in STATE/shop."""
SHOP = STATE / "shop"
PUBLIC_COMPUTER_SECONDS = int(os.environ.get("DEMO_PUBLIC_COMPUTER_SECONDS", "900"))
"""How long a session lives if the customer ticks "this is a public computer"."""
RESET_SECONDS = 3600

SECLOG = {
    "directory": STATE,
    "service": "shop",
    "environment": "demo",
    "trusted_proxies": ["127.0.0.0/8"],  # the demo plays the proxy: it sends X-Forwarded-For
    "watch": {"interval_seconds": 0.5},
}

SHOP.mkdir(mode=0o700, parents=True, exist_ok=True)
engine = create_engine(f"sqlite:///{SHOP / 'db.sqlite3'}", connect_args={"timeout": 20})


@event.listens_for(engine, "connect")
def _write_ahead(connection, record):
    connection.execute("PRAGMA journal_mode=WAL")


def secret_key() -> str:
    """Return the key kept in the state directory, made at the first start."""
    path = SHOP / "secret_key"
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(token_urlsafe(50))
    return path.read_text()


# ── tables ────────────────────────────────────────────────────────────────────────────────────────


class Base(DeclarativeBase):
    pass


membership = Table(
    "membership",
    Base.metadata,
    Column("user_id", ForeignKey("user.id"), primary_key=True),
    Column("group_id", ForeignKey("group.id"), primary_key=True),
)


class Group(Base):
    __tablename__ = "group"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    permissions: Mapped[list] = mapped_column(JSON)


class User(Base):
    __tablename__ = "user"
    id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str] = mapped_column(unique=True)
    email: Mapped[str] = mapped_column(default="")
    password: Mapped[str]
    is_active: Mapped[bool] = mapped_column(default=True)
    is_staff: Mapped[bool] = mapped_column(default=False)
    is_owner: Mapped[bool] = mapped_column(default=False)
    groups: Mapped[list[Group]] = relationship(secondary=membership)

    @property
    def permissions(self) -> set[str]:
        return {permission for group in self.groups for permission in group.permissions}

    def may(self, permission: str) -> bool:
        return self.is_owner or permission in self.permissions


class Customer(Base):
    """A customer's record. Address and birthday are personal data: who reads them is recorded."""

    __tablename__ = "customer"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("user.id"))
    name: Mapped[str]
    address: Mapped[str] = mapped_column(default="")
    birthday: Mapped[date | None]
    orders: Mapped[list["Order"]] = relationship(back_populates="customer", cascade="all, delete")


class Order(Base):
    __tablename__ = "order"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customer.id"))
    item: Mapped[str]
    quantity: Mapped[int]
    price: Mapped[Decimal] = mapped_column(Numeric(8, 2))
    status: Mapped[str] = mapped_column(default="open")
    customer: Mapped[Customer] = relationship(back_populates="orders")

    def __str__(self) -> str:
        return f"#{self.id} {self.quantity} × {self.item}"

    @property
    def invoice(self) -> str:
        total = self.quantity * self.price
        return f"Corner Shop\nInvoice {self.id}\n{self.quantity} x {self.item}\nTotal {total}\n\n"

    @property
    def facts(self) -> dict:
        price, status = str(self.price), self.status
        return {"id": self.id, "item": self.item, "quantity": self.quantity, "price": price, "status": status}


class StoreSettings(Base):
    """The shop's configuration, edited in the back office."""

    __tablename__ = "store_settings"
    id: Mapped[int] = mapped_column(primary_key=True)
    tax_rate: Mapped[Decimal] = mapped_column(Numeric(4, 2))
    free_shipping_from: Mapped[int] = mapped_column(default=50)
    payment_api_key: Mapped[str] = mapped_column(default="")


class Token(Base):
    __tablename__ = "token"
    digest: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("user.id"))
    user: Mapped[User] = relationship()


def session() -> Iterator[Session]:
    """Lend a database session."""
    with Session(engine) as db:
        yield db


def orders_csv(db: Session) -> tuple[str, int]:
    """Return all orders as CSV, and how many they are."""
    orders = db.scalars(select(Order).order_by(Order.id)).all()
    table = io.StringIO()
    csv.writer(table).writerows((order.customer.name, *order.facts.values()) for order in orders)
    return table.getvalue(), len(orders)


def own_orders(db: Session, user_id: int) -> list[Order]:
    return list(db.scalars(select(Order).join(Customer).where(Customer.user_id == user_id).order_by(Order.id)))


def new_order(db: Session, user_id: int, item: str, quantity: int, price: Decimal | str) -> dict:
    customer = db.scalar(select(Customer).where(Customer.user_id == user_id))
    order = Order(customer=customer, item=item, quantity=quantity, price=Decimal(price))
    db.add(order)
    db.commit()
    return order.facts


# ── passwords, tokens, reset links ────────────────────────────────────────────────────────────────


def hashed(password: str, salt: bytes | None = None) -> str:
    salt = salt or token_bytes(16)
    return f"{salt.hex()}${hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=1).hex()}"


NOBODY = hashed(token_hex())


def find_user(db: Session, name: str) -> User | None:
    return db.scalar(select(User).where(User.username == name))


def is_right(user: User | None, password: str) -> bool:
    """Check a password; for an unknown name it takes as long."""
    stored = user.password if user else NOBODY
    return compare_digest(hashed(password, bytes.fromhex(stored.partition("$")[0])), stored) and user is not None


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def new_token(db: Session, user: User) -> str:
    token = token_hex(20)
    db.add(Token(digest=digest(token), user=user))
    db.commit()
    return token


def token_user(db: Session, token: str) -> User | None:
    found = db.get(Token, digest(token))
    return found.user if found and found.user.is_active else None


def _reset_links(user: User) -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(secret_key(), salt=user.password)  # a new password ends the old links


def reset_link(user: User) -> str:
    return f"password/reset/{user.id}/{_reset_links(user).dumps(user.id)}/"


def reset_user(db: Session, uid: str, token: str) -> User | None:
    user = db.get(User, int(uid)) if uid.isdecimal() else None
    try:
        return user if user and _reset_links(user).loads(token, max_age=RESET_SECONDS) == user.id else None
    except BadData:
        return None


def send_mail(to: str, text: str) -> None:
    """Put a mail into the mail folder."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "shop@example.org", to, "Your password"
    message.set_content(text)
    (SHOP / "mail").mkdir(exist_ok=True)
    (SHOP / "mail" / f"{token_hex(8)}.eml").write_bytes(bytes(message))
