// The log of the process: JSON lines on stdout, or one readable line each where a person watches a terminal.
// Access-log lines come finished from the workers and go to the same place untouched.
import pino from 'pino'
import type { LogConfig } from '../config/schema.ts'
import { Stdout } from './stdout.ts'

export type LogLevel = LogConfig['level']

/** What the rest of the program logs with: fields first, then the message. */
export interface Log {
  level: string
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** Takes whole lines, each ending in a newline. */
export interface LineSink {
  write(lines: string): void
}

export type Output = LineSink & {
  /** Writes what is still buffered, as far as that can be done soon; for the moment before the process exits. */
  flush(): void
}

/** Fields that must never be readable in a log. */
const SECRETS = ['secret', 'token', 'tokens', 'password', 'authorization', 'cookie', 'set-cookie']

/** Standard output; never blocks on a slow reader. */
export function openStdout(): Output {
  return new Stdout()
}

/** A log with JSON lines, or with readable ones if `readable`. */
export function createLog(level: LogLevel, sink: LineSink, readable = false): Log {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: label => ({ level: label }) },
      redact: SECRETS.flatMap(name => [`["${name}"]`, `*["${name}"]`, `*.*["${name}"]`]),
    },
    readable ? { write: line => sink.write(readableLine(line)) } : sink,
  )
}

/** `12:34:56.789 INFO  message key=value …` */
function readableLine(line: string): string {
  const { time, level, msg, err, ...fields } = JSON.parse(line)
  const words = Object.entries(fields).map(([key, value]) => {
    return ` ${key}=${typeof value === 'string' && /^[^\s"=\p{Cc}]+$/u.test(value) ? value : JSON.stringify(value)}`
  })
  const stack = err === undefined ? '' : `\n${err.stack}`
  const text = `${time.slice(11, 23)} ${level.toUpperCase().padEnd(5)} ${msg}${words.join('')}${stack}\n`
  // What came from elsewhere must not steer the terminal.
  return text.replaceAll(/[^\P{Cc}\n\t]/gu, '?')
}
