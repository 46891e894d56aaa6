/**
 * Programs the bench starts: pinned to one CPU, watched, and ended by process id.
 * What they cost is read from /proc: CPU time in clock ticks, memory as the kernel accounts it.
 */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { searchPath } from './command.ts'

/** Memory of the serving processes of one program, in bytes. */
export interface Memory {
  /** Resident now (VmRSS). */
  resident: number
  /** Highest resident since the process started (VmHWM). */
  peak: number
}

export interface StartOptions {
  /** The CPU the whole program, threads included, is bound to; several as taskset takes them: `0,1`. */
  cpu: number | string
  env?: Record<string, string>
  /** Open files the program needs; its soft limit is raised where it is lower. */
  files?: number
}

const MICROS_PER_TICK = 1_000_000 / Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }))
const running = new Set<Program>()

/** One started program. Its standard output and the end of its error output are kept. */
export class Program {
  readonly name: string
  readonly pid: number
  readonly exited: Promise<unknown>
  output: string
  errors: string
  private readonly child: ChildProcess

  constructor(name: string, argv: string[], options: StartOptions) {
    let command = ['taskset', '-c', String(options.cpu), ...argv]
    if (options.files !== undefined && options.files > softFileLimit()) {
      command = ['sh', '-c', `ulimit -n ${options.files} && exec "$@"`, 'sh', ...command]
    }
    // A process group of its own: workers of the program end with it, and Ctrl-C reaches only the bench, which ends
    // everything in order.
    const child = spawn(command[0], command.slice(1), {
      detached: true,
      env: { ...searchPath(), ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.name = name
    this.child = child
    this.pid = child.pid ?? 0
    this.output = ''
    this.errors = ''
    child.stdout?.on('data', chunk => {
      this.output = (this.output + chunk).slice(-65_536)
    })
    child.stderr?.on('data', chunk => {
      this.errors = (this.errors + chunk).slice(-4096)
    })
    child.on('error', error => {
      this.errors += error.message
    })
    this.exited = this.pid === 0 ? Promise.resolve() : once(child, 'close').then(() => running.delete(this))
    if (this.pid !== 0) running.add(this)
  }

  get alive(): boolean {
    return this.pid !== 0 && this.child.exitCode === null && this.child.signalCode === null
  }

  get exitCode(): number | null {
    return this.child.exitCode
  }

  /** CPU time of the program and its workers since they started, in microseconds. */
  get cpuMicros(): number {
    if (!this.alive) throw new Error(`${this.name} ended while it was measured\n${this.errors}`)
    let ticks = 0
    for (const pid of family(this.pid)) ticks += cpuTicks(`/proc/${pid}`)
    return ticks * MICROS_PER_TICK
  }

  /** CPU time of one thread of the program, by its name, since it started, in microseconds. */
  threadMicros(name: string): number {
    for (const tid of readdirSync(`/proc/${this.pid}/task`)) {
      const task = `/proc/${this.pid}/task/${tid}`
      if (readFileSync(`${task}/comm`, 'latin1').trim() === name) return cpuTicks(task) * MICROS_PER_TICK
    }
    throw new Error(`${this.name} has no thread ${name}`)
  }

  /** Memory of the processes that serve: the workers, or the program itself where it has none. */
  get memory(): Memory {
    const sum = { resident: 0, peak: 0 }
    for (const pid of family(this.pid)) {
      if (childrenOf(pid).length > 0) continue
      const status = readFileSync(`/proc/${pid}/status`, 'latin1')
      sum.resident += kibibytes(status, 'VmRSS') * 1024
      sum.peak += kibibytes(status, 'VmHWM') * 1024
    }
    return sum
  }

  /** Ends the program: SIGTERM, and SIGKILL to its group if it is still there after 5 s. */
  async stop(): Promise<void> {
    if (this.alive) {
      this.child.kill('SIGTERM')
      const late = setTimeout(() => this.kill(), 5000)
      await this.exited
      clearTimeout(late)
    }
  }

  /** Ends the program and its workers at once. */
  kill(): void {
    try {
      process.kill(-this.pid, 'SIGKILL')
    } catch {
      // The group is gone already.
    }
  }
}

/** Ends every program still running. */
export async function stopPrograms(): Promise<void> {
  await Promise.all([...running].map(program => program.stop()))
}

/** The same without waiting, for a process that is about to exit. */
export function killPrograms(): void {
  for (const program of running) program.kill()
}

/**
 * Waits until `url` answers 200.
 * Throws with the program's last words if it ended or is not ready within 15 s.
 */
export async function untilReady(program: Program, url: string): Promise<void> {
  const deadline = performance.now() + 15_000
  while (program.alive && performance.now() < deadline) {
    if (await answersOk(url)) return
    await new Promise(resolve => setTimeout(resolve, 25))
  }
  const what = program.alive ? `is not ready: ${url} did not answer 200 within 15 s` : 'ended before it was ready'
  throw new Error(`${program.name} ${what}\n${program.errors || program.output}`)
}

/** The limit of open files this process has, and so its children unless raised. */
export function softFileLimit(): number {
  const found = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))
  return found === null ? Number.POSITIVE_INFINITY : Number(found[1])
}

async function answersOk(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(1000), headers: { connection: 'close' } })
    await response.arrayBuffer()
    return response.status === 200
  } catch {
    return false
  }
}

/** `pid` and all its descendants. */
function family(pid: number): number[] {
  const pids = [pid]
  for (let i = 0; i < pids.length; i++) pids.push(...childrenOf(pids[i]))
  return pids
}

function childrenOf(pid: number): number[] {
  const list = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim()
  return list === '' ? [] : list.split(' ').map(Number)
}

/** utime + stime of a process with all its threads, or of one thread (proc(5), fields 14 and 15). */
function cpuTicks(task: string): number {
  const stat = readFileSync(`${task}/stat`, 'latin1')
  // The name in field 2 may hold spaces and brackets; counting starts behind its last bracket.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return Number(fields[11]) + Number(fields[12])
}

function kibibytes(status: string, field: string): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0)
}
