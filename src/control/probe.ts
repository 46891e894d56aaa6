// One probe of an endpoint: a GET on a connection of its own, judged by the status of the answer.
// Whatever the endpoint does, the probe ends in time and leaves nothing behind.
import { connect, type Socket } from 'node:net'
import { Client } from 'undici'

/** Times in ms. */
export type ProbeSettings = {
  path: string
  /** From probe to probe. */
  intervalMs: number
  /** For the whole probe, the connection included. */
  timeoutMs: number
  /** Statuses of a good answer, as ranges. */
  expect: { low: number; high: number }[]
  /** Replicas take turns. */
  isShared: boolean
}

export type ProbeResult = {
  /** ISO time of the beginning. */
  time: string
  ok: boolean
  /** Null where no answer came. */
  status: number | null
  /** What was wrong; null for a good probe. */
  error: string | null
  /** Until the head of the answer, or until the probe failed. */
  ms: number
}

/** Bytes of the answer's body that are read, so that a usual endpoint can finish what it says. */
const BODY_LIMIT = 64 * 1024
/** A timeout is counted in so many parts. */
const PARTS = 10

/** Errors that have shorter words than their message. */
const WORDS: Record<string, string> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset',
  EPIPE: 'connection reset',
  ETIMEDOUT: 'connection timed out',
  EHOSTUNREACH: 'host unreachable',
  ENETUNREACH: 'network unreachable',
  ENOTFOUND: 'name not found',
  EAI_AGAIN: 'name could not be looked up',
  UND_ERR_HEADERS_OVERFLOW: 'the head of the answer is too large',
}

/**
 * Probes once; `onResult` is told as soon as the probe is judged. Never fails: what goes wrong is the result. Aborted,
 * it ends at once and has none.
 */
export async function probe(
  url: string,
  settings: ProbeSettings,
  signal: AbortSignal,
  onResult: (result: ProbeResult) => void,
): Promise<void> {
  const time = new Date().toISOString()
  const begun = performance.now()
  const judge = (status: number | null, error: string | null) => {
    if (signal.aborted) return
    const ms = Math.round((performance.now() - begun) * 1000) / 1000
    onResult({ time, ok: error === null, status, error, ms })
  }

  let socket: Socket | null = null
  const client = new Client(url, {
    // No connection is used twice: one from before can be dead, or outlive the process that a new one would not find.
    pipelining: 0,
    headersTimeout: 0,
    bodyTimeout: 0,
    // Our own socket, because undici lets go of a connection under way only when it stands or fails.
    connect: ({ hostname, port }, done) => {
      // undici says '' for the port that a URL need not name.
      const opened = connect({ host: hostname, port: port === '' ? 80 : Number(port) })
      const onError = (error: Error) => done(error, null)
      opened.once('error', onError)
      opened.once('connect', () => {
        opened.off('error', onError)
        done(null, opened)
      })
      socket = opened
    },
  })
  const end = (why: Error) => {
    client.destroy(why, () => {})
    socket?.destroy()
  }
  const stopClock = countDown(settings.timeoutMs, () => end(new Error(`no answer within ${settings.timeoutMs} ms`)))
  const onAbort = () => end(new Error('the probe was stopped'))
  signal.addEventListener('abort', onAbort)
  const { path, expect } = settings
  const headers = { 'user-agent': 'turnout-health/1' }
  try {
    const asked = client.request({ method: 'GET', path, headers })
    const answer = await asked.catch((error: Error) => judge(null, described(error)))
    if (answer === undefined) return
    const { statusCode, body } = answer
    const isExpected = expect.some(({ low, high }) => low <= statusCode && statusCode <= high)
    judge(statusCode, isExpected ? null : `status ${statusCode}`)
    // That stands: undici takes some complete answers for broken when the connection ends with them.
    await body.dump({ limit: BODY_LIMIT }).catch(() => {})
  } finally {
    signal.removeEventListener('abort', onAbort)
    stopClock()
    end(new Error('the probe is over'))
  }
}

/**
 * Calls back when the time is over; answers how to stop it. A part that comes late counts once: time for which this
 * thread stood still must not make all endpoints look dead.
 */
function countDown(ms: number, onOver: () => void): () => void {
  const part = Math.ceil(ms / PARTS)
  let left = Math.ceil(ms / part)
  let over: NodeJS.Immediate | undefined
  const clock = setInterval(() => {
    left--
    if (left > 0) return
    clearInterval(clock)
    // What came in the meantime is read first.
    over = setImmediate(onOver)
  }, part)
  return () => {
    clearInterval(clock)
    clearImmediate(over)
  }
}

/** One line that says what was wrong. */
function described(error: Error & { code?: string }): string {
  if (error.name === 'HTTPParserError') return 'the answer is not HTTP'
  const words = WORDS[error.code ?? '']
  if (words !== undefined) return words
  if (error.message === 'other side closed') return 'connection closed without an answer'
  return error.message.split('\n')[0]!.slice(0, 200)
}
