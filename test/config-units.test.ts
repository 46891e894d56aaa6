// Durations and sizes: what the contract names is read exactly, everything else is refused by name.
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { parseDuration, parseSize } from '../src/config/units.ts'

it.each([
  ['250ms', 250],
  ['10s', 10_000],
  ['5m', 300_000],
  ['1h', 3_600_000],
  ['0s', 0],
  ['0', 0],
  [0, 0],
] as const)('reads the duration %s', (text, milliseconds) => {
  expect(parseDuration(text)).toBe(milliseconds)
})

it.each(['', '10', 10, '1.5s', '-1s', '1 s', '1S', '1d', 's', '1h30m', '1e3s', ' 1s'])(
  'refuses the duration %j',
  text => {
    expect(() => parseDuration(text)).toThrow(
      `${JSON.stringify(text)} is not a duration such as 250ms, 10s, 5m, 1h or 0s`,
    )
  },
)

it.each([
  ['16KiB', 16_384],
  ['1MiB', 1_048_576],
  ['2GiB', 2_147_483_648],
  ['512B', 512],
  ['512', 512],
  [4096, 4096],
  [0, 0],
] as const)('reads the size %s', (text, bytes) => {
  expect(parseSize(text)).toBe(bytes)
})

it.each(['', '16KB', '16kib', '1.5MiB', -1, 1.5, '1 MiB', '99999999999GiB'])('refuses the size %j', text => {
  expect(() => parseSize(text)).toThrow(
    `${JSON.stringify(text)} is not a size such as 16KiB, 1MiB or a number of bytes`,
  )
})

it('reads every whole number of every unit', () => {
  const units = [
    ['ms', 1],
    ['s', 1000],
    ['m', 60_000],
    ['h', 3_600_000],
  ] as const
  fc.assert(
    fc.property(fc.nat(), fc.constantFrom(...units), (count, [unit, factor]) => {
      expect(parseDuration(`${count}${unit}`)).toBe(count * factor)
    }),
  )
})
