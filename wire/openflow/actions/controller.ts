import { OpenFlowEncodeError, OpenFlowUnsupportedError } from '../errors.ts'
import type { Action } from '../flow.ts'
import { readProperties, writeProperty } from '../properties.ts'
import { writeNiciraAction, type ActionCodec, type ActionDecoder } from './codec.ts'
import { WHOLE_PACKET, outputCodec, type OutputAction } from './output.ts'

export type ControllerAction = Extract<Action, { type: 'controller' }>

const NXAST_CONTROLLER = 20
const NXAST_CONTROLLER2 = 37

/** NXAC2PT_* of Nicira's extensions. */
const PROPERTY_MAX_LENGTH = 0
const PROPERTY_CONTROLLER_ID = 1
const PROPERTY_REASON = 2
const PROPERTY_USERDATA = 3
const PROPERTY_PAUSE = 4

/** OFPR_ACTION, which a packet-in has unless the action says otherwise. */
const REASON_ACTION = 1
const reasonNames = ['no_match', 'action', 'invalid_ttl', 'action_set', 'group', 'packet_out']

interface Complete {
  readonly maxLength: number
  readonly reason: number
  readonly userdata: Uint8Array
  readonly pause: boolean
}

function complete(action: ControllerAction): Complete {
  const maxLength = action.maxLength ?? WHOLE_PACKET
  const reason = action.reason ?? REASON_ACTION
  if (!Number.isInteger(maxLength) || maxLength < 0 || maxLength > WHOLE_PACKET) {
    throw new OpenFlowEncodeError(`controller: maxLength ${maxLength} is not in 0..65535`)
  }
  if (reasonNames[reason] === undefined) {
    throw new OpenFlowEncodeError(`controller: there is no reason ${reason}`)
  }
  return {
    maxLength,
    reason,
    userdata: action.userdata ?? new Uint8Array(),
    pause: action.pause ?? false,
  }
}

/**
 * With nothing but a length this is the same as an output to the controller, and ovs-ofctl makes no difference either:
 * so one goes out as the other, and the two are equal.
 */
function asOutput({ maxLength, reason, userdata, pause }: Complete): OutputAction | undefined {
  const isPlain = reason === REASON_ACTION && userdata.length === 0 && !pause
  return isPlain ? { type: 'output', port: 'controller', maxLength } : undefined
}

function userdataHex(userdata: Uint8Array): string {
  return [...userdata].map((byte) => byte.toString(16).padStart(2, '0')).join('.')
}

export const controllerCodec: ActionCodec<ControllerAction> = {
  encode(action, writer, version) {
    const { maxLength, reason, userdata, pause } = complete(action)
    const output = asOutput(complete(action))
    if (output !== undefined) {
      outputCodec.encode(output, writer, version)
      return
    }
    if (userdata.length === 0 && !pause) {
      // The older form says all there is to say, and is what ovs-ofctl writes then.
      writeNiciraAction(writer, NXAST_CONTROLLER, () => {
        writer.u16(maxLength)
        writer.u16(0)
        writer.u8(reason)
        writer.zeros(1)
      })
      return
    }
    writeNiciraAction(writer, NXAST_CONTROLLER2, () => {
      writer.zeros(6)
      if (maxLength !== WHOLE_PACKET) {
        writeProperty(writer, PROPERTY_MAX_LENGTH, () => {
          writer.u16(maxLength)
          // A 16-bit value is padded inside the property, unlike all others.
          writer.zeros(2)
        })
      }
      if (reason !== REASON_ACTION) writeProperty(writer, PROPERTY_REASON, () => writer.u8(reason))
      if (userdata.length > 0) {
        writeProperty(writer, PROPERTY_USERDATA, () => writer.bytes(userdata))
      }
      if (pause) writeProperty(writer, PROPERTY_PAUSE, () => undefined)
    })
  },

  format(action) {
    const { maxLength, reason, userdata, pause } = complete(action)
    const output = asOutput(complete(action))
    if (output !== undefined) return outputCodec.format(output)
    const parts: string[] = []
    if (reason !== REASON_ACTION) parts.push(`reason=${reasonNames[reason]}`)
    if (maxLength !== WHOLE_PACKET) parts.push(`max_len=${maxLength}`)
    if (userdata.length > 0) parts.push(`userdata=${userdataHex(userdata)}`)
    if (pause) parts.push('pause')
    return `controller(${parts.join(',')})`
  },

  canonical(action) {
    const output = asOutput(complete(action))
    return output === undefined ? controllerCodec.format(action) : outputCodec.canonical(output)
  },
}

function decoded({ maxLength, reason, userdata, pause }: Complete): ControllerAction {
  return {
    type: 'controller',
    ...(maxLength === WHOLE_PACKET ? {} : { maxLength }),
    ...(reason === REASON_ACTION ? {} : { reason }),
    ...(userdata.length === 0 ? {} : { userdata }),
    ...(pause ? { pause } : {}),
  }
}

function checkedReason(reason: number): number {
  if (reasonNames[reason] === undefined) {
    throw new OpenFlowUnsupportedError(`controller action with reason ${reason}`)
  }
  return reason
}

function refuseController(id: number): void {
  if (id !== 0) throw new OpenFlowUnsupportedError(`controller action for controller ${id}`)
}

export const controllerDecoders: readonly ActionDecoder[] = [
  {
    number: { nicira: NXAST_CONTROLLER },
    decode(body) {
      const maxLength = body.u16()
      refuseController(body.u16())
      const reason = checkedReason(body.u8())
      return decoded({ maxLength, reason, userdata: new Uint8Array(), pause: false })
    },
  },
  {
    number: { nicira: NXAST_CONTROLLER2 },
    decode(body) {
      body.skip(6)
      let maxLength = WHOLE_PACKET
      let reason = REASON_ACTION
      let userdata: Uint8Array = new Uint8Array()
      let pause = false
      for (const { type, value } of readProperties(body)) {
        if (type === PROPERTY_MAX_LENGTH) maxLength = value.u16()
        else if (type === PROPERTY_CONTROLLER_ID) refuseController(value.u16())
        else if (type === PROPERTY_REASON) reason = checkedReason(value.u8())
        else if (type === PROPERTY_USERDATA) userdata = Uint8Array.from(value.rest())
        else if (type === PROPERTY_PAUSE) pause = true
        else throw new OpenFlowUnsupportedError(`controller action with property ${type}`)
      }
      return decoded({ maxLength, reason, userdata, pause })
    },
  },
]
