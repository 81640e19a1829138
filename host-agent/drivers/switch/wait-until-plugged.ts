import type { Clock } from '@nubo/base'

import { SwitchError, type AttachedInterface, type PortChange } from './switch-driver.ts'

/** `SwitchDriver.plugged` for any driver that keeps its ports in a map and tells of changes after making them. */
export function waitUntilPlugged(options: {
  readonly clock: Clock
  readonly ports: ReadonlyMap<string, AttachedInterface>
  readonly onPortChange: (listener: (change: PortChange) => void) => () => void
  readonly portId: string
  readonly deadlineMs: number
}): Promise<void> {
  const { clock, ports, onPortChange, portId, deadlineMs } = options
  return new Promise((resolve, reject) => {
    const end = (error?: SwitchError): void => {
      deadline.cancel()
      stopListening()
      if (error === undefined) resolve()
      else reject(error)
    }
    const look = (): void => {
      const state = ports.get(portId)?.state
      if (state?.at === 'waiting') return
      if (state?.at === 'plugged') end()
      else end(state === undefined ? notAttached(portId) : deviceFailed(portId, state.reason))
    }
    const deadline = clock.after(deadlineMs, () => end(tooLate(portId, deadlineMs)))
    const stopListening = onPortChange((change) => {
      if (change.portId === portId) look()
    })
    look()
  })
}

function notAttached(portId: string): SwitchError {
  return new SwitchError('not_attached', 'the port is not attached', { details: { portId } })
}

function deviceFailed(portId: string, reason: string): SwitchError {
  return new SwitchError('device_failed', `the switch cannot use the device: ${reason}`, {
    details: { portId, reason },
  })
}

function tooLate(portId: string, deadlineMs: number): SwitchError {
  return new SwitchError('timed_out', 'the switch did not open the device in time', {
    details: { portId, deadlineMs },
  })
}
