import { z } from 'zod'
import { foundReason, foundSet as foundSetBefore } from '../v1/found.ts'

/** What a host knows of one instance: a set as before, or a VM. `absent` is said once, after everything of it is gone. */
export const foundSet = foundSetBefore.extend({ kind: z.literal('set') })
export type FoundSet = z.infer<typeof foundSet>

/** What runs the guest, as it is now. */
export const foundMachine = z.strictObject({
  accelerator: z.enum(['kvm', 'tcg']),
  cpus: z.int().min(1),
  memoryBytes: z.int().min(0),
  startedAtMs: z.int(),
})
export type FoundMachine = z.infer<typeof foundMachine>

export const foundVm = z.strictObject({
  kind: z.literal('vm'),
  id: z.uuid(),
  epoch: z.int().min(1),
  /** The wanted generation that this state answers to. */
  generation: z.int().min(0),
  state: z.enum([
    'pending',
    'pulling',
    'starting',
    'running',
    'paused',
    'stopping',
    'stopped',
    'failed',
    'absent',
  ]),
  /** For a person: 'fetching image debian, 120 of 340 MiB'. */
  progress: z.string().max(500),
  reason: foundReason.nullable(),
  /** Null while QEMU does not run. */
  machine: foundMachine.nullable(),
  /** How often QEMU ended by itself and was started again. */
  restarts: z.int().min(0),
})
export type FoundVm = z.infer<typeof foundVm>

export const foundInstance = z.discriminatedUnion('kind', [foundSet, foundVm])
export type FoundInstance = z.infer<typeof foundInstance>
