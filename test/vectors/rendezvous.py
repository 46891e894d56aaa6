"""Version by user key, computed from the documented formula alone (standard library only)."""
import json
import math


def murmur3_32(data: bytes, seed: int) -> int:
    mask = 0xFFFFFFFF

    def mix(k: int) -> int:
        k = k * 0xCC9E2D51 & mask
        k = (k << 15 | k >> 17) & mask
        return k * 0x1B873593 & mask

    h = seed
    whole = len(data) // 4 * 4
    for at in range(0, whole, 4):
        h ^= mix(int.from_bytes(data[at : at + 4], "little"))
        h = (h << 13 | h >> 19) & mask
        h = (h * 5 + 0xE6546B64) & mask
    if len(data) > whole:
        h ^= mix(int.from_bytes(data[whole:], "little"))
    h ^= len(data)
    h ^= h >> 16
    h = h * 0x85EBCA6B & mask
    h ^= h >> 13
    h = h * 0xC2B2AE35 & mask
    return h ^ h >> 16


def choose(salt: str, weights: dict[str, float], key: str) -> str:
    def score(version: str) -> float:
        seed = murmur3_32(f"{salt}:{version}".encode(), 0)
        u = (murmur3_32(key.encode(), seed) + 0.5) / 2**32
        return weights[version] / -math.log(u)

    return max((v for v in weights if weights[v] > 0), key=score)


SPLITS = [
    ("shop", {"blue": 90, "green": 10}),
    ("shop", {"blue": 0, "green": 50, "gold": 0.5, "grün": 49.5}),
    ("größe", {"a": 1, "b": 1, "c": 1}),
]
KEYS = (
    [f"user-{n}" for n in range(40)]
    + ["a", "ab", "abc", "abcd", "abcde", "0", " ", "x" * 511, "x" * 512, "x" * 513, "é" * 300]
    + ["müller", "naïve@example.com", "日本語", "Ωmega", "😀", "Ā", "ÿ", "user é " + "y" * 600]
)

rows = [[salt, weights, {key: choose(salt, weights, key) for key in KEYS}] for salt, weights in SPLITS]
print(json.dumps(rows, ensure_ascii=False, separators=(",", ":")))
