/**
 * What the figures were taken on. Printed above every table, since a figure without its machine says nothing.
 */

import { readFileSync } from 'node:fs'
import { cpus, release, totalmem } from 'node:os'

export interface Machine {
  cpu: string
  cores: number
  memoryGiB: number
  kernel: string
  system: string
  node: string
}

export function describeMachine(): Machine {
  return {
    cpu: cpus()[0].model.trim(),
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    system: systemName(),
    node: process.versions.node,
  }
}

export function machineLine(machine: Machine): string {
  const { cpu, cores, memoryGiB, system, kernel } = machine
  return `${cpu}, ${cores} cores, ${memoryGiB} GiB, ${system}, Linux ${kernel}`
}

function systemName(): string {
  try {
    return /^PRETTY_NAME="?([^"\n]+)/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'Linux'
  } catch {
    return 'Linux'
  }
}
