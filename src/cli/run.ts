// `turnout run`: serves a config file until it is told to stop.
import type { Env } from '../config/env.ts'
import { ControlPlane } from '../control/control-plane.ts'
import { EXIT, live } from '../control/lifecycle.ts'
import { readBuild } from '../observe/build.ts'
import { createLog, type LogLevel, openStdout } from '../observe/log.ts'

export type RunOptions = {
  file: string
  env: Env
  /** Log lines for people instead of JSON. */
  readable: boolean
  /** Beats the level of the file. */
  logLevel: LogLevel | null
  /** Options this Node runs with. */
  nodeOptions: readonly string[]
  /** Ends the process at once. */
  quit: (code: number) => void
}

/** Serves; answers the exit code once stopped. */
export async function run(options: RunOptions): Promise<number> {
  const stdout = openStdout()
  const log = createLog(options.logLevel ?? 'info', stdout, options.readable)
  const build = readBuild()
  const { file, env, logLevel } = options
  try {
    // The admin server is node:http, which then takes what request smuggling is made of.
    if (options.nodeOptions.some(option => option.includes('--insecure-http-parser'))) {
      log.error({}, 'remove --insecure-http-parser from the options of Node: turnout does not run with it')
      return EXIT.failedStart
    }
    const plane = new ControlPlane({ file, env, build, log, lines: stdout, logLevel })
    const onReady = () => {
      for (const { name, url } of plane.listeners) log.info({ listener: name, url }, 'listening')
      log.info({ url: plane.adminUrl }, 'admin listening')
      log.info({ ...build, pid: process.pid, file, revision: plane.revision.number }, 'ready')
      if (plane.waitsFor !== null) log.warn({}, `/readyz answers 503 until Redis is reached: ${plane.waitsFor}`)
    }
    const quit = (code: number) => {
      stdout.flush()
      options.quit(code)
    }
    return await live({ plane, log, onReady, quit })
  } finally {
    stdout.flush()
  }
}
