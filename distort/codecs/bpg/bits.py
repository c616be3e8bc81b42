"""Number codings of BPG and HEVC: fixed-width fields, Exp-Golomb codes and ``ue7``, most significant bit first."""

from __future__ import annotations


class BitReader:
    """Reads fields from the front of ``data``. Every method raises ValueError when the data runs out."""

    def __init__(self, data: bytes):
        self.data = data
        self.position = 0  # in bits

    @property
    def left(self) -> int:
        return 8 * len(self.data) - self.position

    def u(self, width: int) -> int:
        """An unsigned field of ``width`` bits."""
        if width > self.left:
            raise ValueError("the header ends in the middle of a field")
        end = self.position + width
        last = (end + 7) // 8
        window = int.from_bytes(self.data[self.position // 8 : last], "big")
        self.position = end
        return window >> (8 * last - end) & ((1 << width) - 1)

    def flag(self) -> bool:
        return bool(self.u(1))

    def ue(self) -> int:
        """An order-0 Exp-Golomb code below 2^32 - 1 (HEVC clause 9.2)."""
        zeros = 0
        while not self.u(1):
            zeros += 1
            if zeros == 32:
                raise ValueError("the header holds an Exp-Golomb code of more than 32 bits")
        return (1 << zeros) - 1 + self.u(zeros)


class BitWriter:
    """Collects fields; ``bytes()`` pads the last byte with zero bits."""

    def __init__(self) -> None:
        self.value = 0
        self.length = 0  # in bits

    def u(self, width: int, value: int) -> None:
        if not 0 <= value < 1 << width:
            raise ValueError(f"{value} does not fit a field of {width} bits")
        self.value = self.value << width | value
        self.length += width

    def ue(self, *values: int) -> None:
        for value in values:
            self.u(2 * (value + 1).bit_length() - 1, value + 1)

    def stop(self) -> None:
        """The stop bit that ends an RBSP (HEVC clause 7.3.2.11)."""
        self.u(1, 1)

    def __bytes__(self) -> bytes:
        padding = -self.length % 8
        return (self.value << padding).to_bytes((self.length + padding) // 8, "big")


def write_ue7(value: int) -> bytes:
    """BPG's variable-length number: base 128, big-endian, bit 7 set on all bytes but the last."""
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.append(value & 0x7F | 0x80)
    return bytes(reversed(digits))


def read_ue7(data: bytes, position: int, field: str) -> tuple[int, int]:
    """The ue7 at ``position`` and the position after it.

    Raises ValueError, which names ``field``, when the data ends inside the number, or when the number exceeds 32
    bits or is not in its shortest form.
    """
    value = 0
    for at in range(position, position + 5):
        if at >= len(data):
            raise ValueError(f"the file ends in {field}")
        if at == position and data[at] == 0x80:
            raise ValueError(f"{field} is not coded in its shortest form")
        value = value << 7 | data[at] & 0x7F
        if data[at] < 0x80:
            if value >> 32:
                break
            return value, at + 1
    raise ValueError(f"{field} has more than 32 bits")
