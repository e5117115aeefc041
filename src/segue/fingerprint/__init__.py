"""What a data set is and what is wrong with it: the fingerprint and the label doctor."""

from segue.fingerprint.doctor import Examined
from segue.fingerprint.examination import Examination, examine
from segue.fingerprint.summary import ChannelSummary, Fingerprint, ObjectSummary, summarise_set

__all__ = [
    "ChannelSummary",
    "Examination",
    "Examined",
    "Fingerprint",
    "ObjectSummary",
    "examine",
    "summarise_set",
]
