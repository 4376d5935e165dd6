"""WHO AND WHERE: the scope of a request or job, the client's address, request and trace ids."""

from seclog.context.address import AddressResolver
from seclog.context.scope import Context, JobScope, Scope, attempt, current, enter, leave, leave_here

__all__ = ["AddressResolver", "Context", "JobScope", "Scope", "attempt", "current", "enter", "leave", "leave_here"]
