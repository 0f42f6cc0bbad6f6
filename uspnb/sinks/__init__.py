"""What a running predictor tells: a queue that never blocks, sinks outside the compute thread, metrics, parity."""

from .buffer import Batch, BufferCounts, TelemetryBuffer
from .consumer import Consumer, ConsumerStatus
from .gpu import GpuMemory, GpuReading
from .jitter import JitterMeter, JitterReading
from .json_lines import JsonLinesSink, read_records
from .metrics import Metrics, MetricsSink
from .parity import ParityLog
from .parity_check import Comparison, Verified, compare, verify
from .records import RECORD_FIELDS, Records, parse_record
from .sinks import CallbackSink, FileSink, Sink, SinkStatus, make_sink, register_sink

__all__ = [
    "RECORD_FIELDS",
    "Batch",
    "BufferCounts",
    "CallbackSink",
    "Comparison",
    "Consumer",
    "ConsumerStatus",
    "FileSink",
    "GpuMemory",
    "GpuReading",
    "JitterMeter",
    "JitterReading",
    "JsonLinesSink",
    "Metrics",
    "MetricsSink",
    "ParityLog",
    "Records",
    "Sink",
    "SinkStatus",
    "TelemetryBuffer",
    "Verified",
    "compare",
    "make_sink",
    "parse_record",
    "read_records",
    "register_sink",
    "verify",
]
