import type { FoundContainer, FoundSet } from '../drivers/set/set-driver.ts'
import { testId } from './wanted.ts'

export function foundContainer(change: Partial<FoundContainer> = {}): FoundContainer {
  return {
    name: 'main',
    containerId: 'c1',
    state: 'running',
    exitCode: null,
    oomKilled: false,
    startedAtMs: 1_000,
    finishedAtMs: null,
    error: null,
    ...change,
  }
}

/** An end of a container `ranMs` after its start. */
export function exited(exitCode: number, change: Partial<FoundContainer> = {}): FoundContainer {
  const startedAtMs = change.startedAtMs ?? 1_000
  return foundContainer({
    state: 'exited',
    exitCode,
    finishedAtMs: startedAtMs + 10,
    ...change,
  })
}

export function foundSet(containers: FoundContainer[], change: Partial<FoundSet> = {}): FoundSet {
  return {
    setId: testId('set', 1),
    epoch: 1,
    pause: 'running',
    pausePid: 100,
    containers,
    specHash: 'hash',
    ...change,
  }
}
