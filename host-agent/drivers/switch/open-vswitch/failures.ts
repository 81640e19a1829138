import {
  OpenFlowClosedError,
  OpenFlowDecodeError,
  OpenFlowError,
  OpenFlowLimitError,
  OpenFlowTimeoutError,
} from '@nubo/wire-openflow'
import { OvsdbError } from '@nubo/wire-ovsdb'

import { SwitchError } from '../switch-driver.ts'

/** A failed call to the database, in the words of the driver. Anything but an `OvsdbError` is thrown on as it is. */
export function fromOvsdb(cause: unknown, what: string): SwitchError {
  if (cause instanceof SwitchError) return cause
  if (!(cause instanceof OvsdbError)) throw cause
  switch (cause.kind) {
    case 'unavailable':
    case 'lost':
    case 'protocol':
      return new SwitchError('unreachable', `${what}: the switch's database does not answer`, {
        cause,
      })
    case 'timeout':
      return new SwitchError('timed_out', `${what}: the switch's database is too slow`, { cause })
    case 'overloaded':
      return new SwitchError('overloaded', `${what}: too much is under way`, { cause })
    case 'transaction':
    case 'rpc':
      // Names of ports are unique in the database, also over bridges that are not ours.
      return cause.error === 'constraint violation'
        ? new SwitchError('name_taken', `${what}: the switch has such a port already`, { cause })
        : new SwitchError('host_not_ready', `${what}: the switch's database refused it`, { cause })
    case 'value':
      return new SwitchError('invalid', `${what}: not a value for the switch's database`, { cause })
  }
}

/** A failed call over OpenFlow, in the words of the driver. Anything but an `OpenFlowError` is thrown on as it is. */
export function fromOpenFlow(cause: unknown, what: string): SwitchError {
  if (cause instanceof SwitchError) return cause
  if (!(cause instanceof OpenFlowError)) throw cause
  if (cause instanceof OpenFlowClosedError || cause instanceof OpenFlowDecodeError) {
    return new SwitchError('unreachable', `${what}: the connection to the switch is lost`, {
      cause,
    })
  }
  if (cause instanceof OpenFlowTimeoutError) {
    return new SwitchError('timed_out', `${what}: the switch did not answer in time`, { cause })
  }
  if (cause instanceof OpenFlowLimitError) {
    return new SwitchError('overloaded', `${what}: too much is under way`, { cause })
  }
  return new SwitchError('flows_refused', `${what}: the switch does not accept it`, { cause })
}
