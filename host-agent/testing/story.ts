import assert from 'node:assert/strict'
import type { FoundSet as Report } from '@nubo/contracts/host'
import type { FoundSet } from '../drivers/set/set-driver.ts'
import { afterStart } from '../plan/observe.ts'
import { planSet, type SetPlan, type SetSituation } from '../plan/plan-set.ts'
import { emptySetMemory, type SetMemory } from '../plan/set-memory.ts'
import { testId, testSet } from './wanted.ts'

function situation(change: Partial<SetSituation> = {}): SetSituation {
  return {
    setId: testId('set', 1),
    wanted: testSet(),
    lastWanted: null,
    permission: 'granted',
    found: null,
    engineTrouble: null,
    spec: { hash: 'hash' },
    missing: '',
    image: () => ({ at: 'ready' }),
    ports: { areAttached: true, areReady: true, trouble: null },
    memory: emptySetMemory,
    reported: null,
    nowMs: 10_000,
    ...change,
  }
}

export function plan(change: Partial<SetSituation> = {}): SetPlan {
  return planSet(situation(change))
}

export function steps(result: SetPlan): string[] {
  return result.actions.map((action) =>
    'name' in action ? `${action.do} ${action.name}` : action.do,
  )
}

export function reportOf(result: SetPlan): Report {
  assert.ok(result.report)
  return result.report
}

/** One set through time: each step plans with what the last one remembered and reported. */
export class Story {
  memory: SetMemory = emptySetMemory
  reported: Report | null = null
  nowMs = 10_000
  readonly #base: Partial<SetSituation>

  constructor(base: Partial<SetSituation> = {}) {
    this.#base = base
  }

  at(nowMs: number, found: FoundSet | null, change: Partial<SetSituation> = {}): SetPlan {
    this.nowMs = nowMs
    const { memory, reported } = this
    const result = plan({ ...this.#base, found, memory, reported, nowMs, ...change })
    this.memory = result.memory
    this.reported = result.report ?? this.reported
    return result
  }

  started(name = 'main'): void {
    this.memory = afterStart(this.memory, name)
  }
}
