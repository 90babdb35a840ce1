"""Quality of service: profiles that match what is on the topic, and words for when they do not."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription

# Messages by whose time of sending one is known that comes a second time. Compared for equality alone: the
# sender's clock may be set back.
_REMEMBERED = 16
_BEST_EFFORT, _RELIABLE = ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE

# What a user can do, by the policy that does not fit: on the input, and on an output.
_INPUT_REMEDY = {
    QoSPolicyKind.RELIABILITY: "the camera publishes best effort: set input_qos to auto or sensor_data",
    QoSPolicyKind.DURABILITY: "the publisher must offer at least volatile durability",
}
_OUTPUT_REMEDY = {
    QoSPolicyKind.RELIABILITY: "the subscriber wants reliable delivery: set output_qos to auto or reliable",
    QoSPolicyKind.DURABILITY: "the subscriber wants latched messages: let it ask for volatile durability",
}


def _profile(
    reliability: ReliabilityPolicy, durability: DurabilityPolicy = DurabilityPolicy.VOLATILE
) -> QoSProfile:
    """Depth is 1 everywhere: what is not the newest is worth nothing."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=1, reliability=reliability, durability=durability
    )


LATCHED = _profile(_RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL)
"""For what is published once and must reach those who come later."""

UNDEMANDING = _profile(_BEST_EFFORT)
"""For what is sent again and again by whomever: it matches every publisher."""


def output_profile(choice: str) -> QoSProfile:
    """Profile of mask and overlay by the parameter `output_qos`: auto, sensor_data or reliable."""
    return _profile(_BEST_EFFORT if choice == "sensor_data" else _RELIABLE)


def publisher_events(node: Node, topic: str) -> PublisherEventCallbacks:
    """Callbacks that log the remedy when a subscriber of this topic cannot be served."""
    warn = _warning(node, f"a subscriber of '{topic}' gets nothing", _OUTPUT_REMEDY)
    return PublisherEventCallbacks(incompatible_qos=warn)


def _warning(node: Node, fact: str, remedies: dict[QoSPolicyKind, str]) -> Callable[[Any], None]:
    """A callback for an event of incompatible QoS: logs what does not fit, and the remedy."""

    def warn(event: Any) -> None:
        words = _words(QoSPolicyKind(event.last_policy_kind), remedies)
        node.get_logger().warning(f"{fact}: {words}")

    return warn


def _words(kind: QoSPolicyKind, remedies: dict[QoSPolicyKind, str]) -> str:
    return f"{kind.name.lower()} does not fit; {remedies.get(kind, 'let both ends agree on it')}"


class InputSubscription:
    """A subscription whose reliability follows the publishers of its topic.

    A best-effort subscription matches any publisher, but of a reliable one it may lose images; so the
    first is used until a publisher is seen, and then what it offers. The old subscription is kept until the
    first message has come through the new one, so that none is lost on the way.

    Args:
        node: The node that subscribes.
        message_type: Type of the messages.
        topic: Topic name, relative to the node.
        choice: The parameter `input_qos`: auto, sensor_data or reliable.
        callback: Gets each message once.

    Attributes:
        topic: The topic's full name.
    """

    def __init__(
        self, node: Node, message_type: type, topic: str, choice: str, callback: Callable[[Any], None]
    ) -> None:
        self._node = node
        self._type = message_type
        # Resolved here, because not every query of rclpy applies remappings.
        self.topic = node.resolve_topic_name(topic)
        self._auto = choice == "auto"
        self._callback = callback
        self._taken: deque[int] = deque(maxlen=_REMEMBERED)
        self._subscriptions: list[Subscription] = []
        self._subscribe(_RELIABLE if choice == "reliable" else _BEST_EFFORT)
        self.follow()

    @property
    def publishers(self) -> int:
        """How many publishers the topic has."""
        return self._node.count_publishers(self.topic)

    @property
    def reliable(self) -> bool:
        """Whether lost images are sent again."""
        return self._subscriptions[-1].qos_profile.reliability == _RELIABLE

    @property
    def mismatch(self) -> str:
        """Why a publisher that is there now is not heard, and the remedy; empty when all of them are."""
        # Every durability fits the subscription's, and `auto` follows within one look.
        unheard = not self._auto and self.reliable and _BEST_EFFORT in self._offers()
        return _words(QoSPolicyKind.RELIABILITY, _INPUT_REMEDY) if unheard else ""

    def _offers(self) -> set[ReliabilityPolicy]:
        """Reliability of the publishers."""
        return {info.qos_profile.reliability for info in self._node.get_publishers_info_by_topic(self.topic)}

    def follow(self) -> None:
        """Subscribe anew if the publishers offer something else by now; to be called now and then."""
        if not self._auto:
            return
        offers = self._offers()
        if not offers:
            return
        wanted = _RELIABLE if offers == {_RELIABLE} else _BEST_EFFORT
        if self._subscriptions[-1].qos_profile.reliability != wanted:
            self._subscribe(wanted)

    def close(self) -> None:
        """Unsubscribe."""
        self._keep_newest(0)

    def _subscribe(self, reliability: ReliabilityPolicy) -> None:
        self._keep_newest(1)
        if self._auto:
            events = SubscriptionEventCallbacks(incompatible_qos=lambda _: self.follow())
        else:
            warn = _warning(self._node, f"a publisher of '{self.topic}' is not heard", _INPUT_REMEDY)
            events = SubscriptionEventCallbacks(incompatible_qos=warn)
        created: list[Subscription] = []

        def receive(message: Any, info: Any) -> None:
            sent, overlap = info["source_timestamp"], len(self._subscriptions) > 1
            if created[0] is self._subscriptions[-1]:
                self._keep_newest(1)
            if overlap and sent > 0 and sent in self._taken:
                return  # It has come through the other subscription already.
            self._taken.append(sent)
            self._callback(message)

        profile = _profile(reliability)
        created.append(
            self._node.create_subscription(self._type, self.topic, receive, profile, event_callbacks=events)
        )
        self._subscriptions += created

    def _keep_newest(self, count: int) -> None:
        while len(self._subscriptions) > count:
            self._node.destroy_subscription(self._subscriptions.pop(0))
