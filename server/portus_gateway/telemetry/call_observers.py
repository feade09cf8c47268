"""Several observers of calls as one."""

from portus_gateway.rpc.observation import CallObserver, FinishedCall


class CallObservers:
    """Tells each of `observers`, in order."""

    def __init__(self, *observers: CallObserver) -> None:
        self._observers = observers

    def call_started(self, method: str) -> None:
        for observer in self._observers:
            observer.call_started(method)

    def call_finished(self, call: FinishedCall) -> None:
        for observer in self._observers:
            observer.call_finished(call)
