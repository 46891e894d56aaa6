// What the commands print for people: tables as wide as they must be, one line that is written over on a
// terminal, and colours only where they can be seen.
import { Writable } from 'node:stream'
import { afterEach, expect, test, vi } from 'vitest'
import { Screen } from '../src/cli/screen.ts'
import { drainFigures, duration, percent, timeLeft } from '../src/cli/words.ts'

class Recorder extends Writable {
  text = ''
  isTTY: boolean
  columns: number

  constructor(isTTY: boolean, columns = 80) {
    super()
    this.isTTY = isTTY
    this.columns = columns
  }

  getColorDepth(): number {
    return process.env.NO_COLOR === undefined ? 4 : 1
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString()
    done()
  }
}

afterEach(() => vi.unstubAllEnvs())

function plainEnv(): void {
  vi.stubEnv('FORCE_COLOR', undefined)
  vi.stubEnv('NO_COLOR', undefined)
  vi.stubEnv('NODE_DISABLE_COLORS', undefined)
}

test('a table is as wide as what is in it, figures on the right', () => {
  plainEnv()
  const stream = new Recorder(false)
  new Screen(stream).table(
    [{ title: 'VERSION' }, { title: 'WEIGHT', align: 'right' }, { title: 'STATE' }],
    [
      ['blue', '90', ['active', 'green']],
      ['a-long-name', '10000.5', 'drained'],
    ],
  )
  expect(stream.text).toBe(
    ['  VERSION       WEIGHT  STATE', '  blue              90  active', '  a-long-name  10000.5  drained', ''].join(
      '\n',
    ),
  )
})

test('colours are for terminals, and change no column', () => {
  plainEnv()
  const stream = new Recorder(true)
  const screen = new Screen(stream)
  screen.table([{ title: 'A' }, { title: 'B' }], [[['x', 'red'], 'y']])
  expect(stream.text).toContain('  \x1b[31mx\x1b[39m  y\n')
  vi.stubEnv('NO_COLOR', '1')
  expect(screen.paint('x', 'red')).toBe('x')
  expect(new Screen(new Recorder(false)).paint('x', 'red')).toBe('x')
})

test('a status line is written over, and gone before a line is printed', () => {
  const stream = new Recorder(true)
  const screen = new Screen(stream)
  screen.status('one')
  screen.status('two')
  screen.line('done')
  screen.line('more')
  expect(stream.text).toBe('\r\x1b[Kone\r\x1b[Ktwo\r\x1b[Kdone\nmore\n')
})

test('a status line never wraps', () => {
  const stream = new Recorder(true, 10)
  new Screen(stream).status('0123456789')
  expect(stream.text).toBe('\r\x1b[K01234567…')
})

test.for([
  [0, '0 %'],
  [1, '100 %'],
  [0.9, '90 %'],
  [1 / 3, '33.3 %'],
  [0.0001, '0.01 %'],
  [0.9999, '>99.9 %'],
] as const)('a share of %d is %s', ([share, text]) => expect(percent(share)).toBe(text))

test.for([
  [-5, '0 s'],
  [850, '850 ms'],
  [999.9, '1 s'],
  [12_000, '12 s'],
  [59_900, '1 m 0 s'],
  [250_000, '4 m 10 s'],
  [7_500_000, '2 h 5 m'],
] as const)('%d ms are %s', ([ms, text]) => expect(duration(ms)).toBe(text))

test('what is left of a drain is told by the deadline that something waits for', () => {
  const times = { deadline: '2026-01-01T00:00:30Z', tunnelDeadline: '2026-01-01T00:01:00Z' }
  const figures = { completed: 0, forced: 0, lost: 0, waitingFor: [] as string[], ...times }
  const now = Date.parse('2026-01-01T00:00:10.500Z')
  const left = (inFlight: number, tunnels: number, at: number) => timeLeft({ inFlight, tunnels, ...figures }, at)
  expect(left(1, 1, now)).toBe(19_500)
  expect(left(0, 1, now)).toBe(49_500)
  expect(left(0, 0, now)).toBe(19_500)
  // Requests that are late at their end do not make the tunnels' time less.
  expect(left(1, 1, now + 20_000)).toBe(29_500)
  expect(left(1, 1, now + 90_000)).toBe(0)
  expect(drainFigures({ inFlight: 2, tunnels: 1, ...figures }, now)).toBe(
    '(20 s left): 2 in flight, 1 tunnel, 0 completed, 0 forced',
  )
})

test('a drain that other replicas have a part in says whom it waits for, and what died with one', () => {
  const now = Date.parse('2026-05-01T12:00:00.000Z')
  const deadline = '2026-05-01T12:00:20.000Z'
  const drain = { inFlight: 1, tunnels: 0, completed: 3, forced: 0, deadline, tunnelDeadline: deadline }
  expect(drainFigures({ ...drain, lost: 2, waitingFor: ['edge-2', 'redis'] }, now)).toBe(
    '(20 s left): 1 in flight, 0 tunnels, 3 completed, 0 forced, 2 lost with a replica that died; waits for edge-2, redis',
  )
})
