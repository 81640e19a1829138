import { controllerCodec, controllerDecoders } from './actions/controller.ts'
import {
  EXPERIMENTER_NICIRA,
  OFPAT_EXPERIMENTER,
  type ActionCodec,
  type ActionDecoder,
} from './actions/codec.ts'
import { decTtlCodec, decTtlDecoders } from './actions/dec-ttl.ts'
import { moveCodec, moveDecoders } from './actions/move.ts'
import { outputCodec, outputDecoders } from './actions/output.ts'
import { resubmitCodec, resubmitDecoders } from './actions/resubmit.ts'
import { loadCodec, setFieldCodec, setFieldDecoders } from './actions/set-field.ts'
import type { ByteReader, ByteWriter } from './bytes.ts'
import { OpenFlowDecodeError, OpenFlowEncodeError, OpenFlowUnsupportedError } from './errors.ts'
import type { Action } from './flow.ts'
import type { OpenFlowVersion } from './version.ts'

/** An action in the sense of OpenFlow; `goto` is an instruction, see instructions.ts. */
export type ListedAction = Exclude<Action, { type: 'goto' }>

const codecs: {
  readonly [T in ListedAction['type']]: ActionCodec<Extract<ListedAction, { type: T }>>
} = {
  output: outputCodec,
  setField: setFieldCodec,
  load: loadCodec,
  move: moveCodec,
  decTtl: decTtlCodec,
  resubmit: resubmitCodec,
  controller: controllerCodec,
}

const decoders = new Map<string, ActionDecoder>()
for (const decoder of [
  ...outputDecoders,
  ...setFieldDecoders,
  ...moveDecoders,
  ...decTtlDecoders,
  ...resubmitDecoders,
  ...controllerDecoders,
]) {
  const { number } = decoder
  decoders.set('standard' in number ? `${number.standard}` : `nicira ${number.nicira}`, decoder)
}

function codecOf(action: ListedAction): ActionCodec<ListedAction> {
  const codec: ActionCodec<never> | undefined = codecs[action.type]
  if (codec === undefined)
    throw new OpenFlowEncodeError(`there is no action ${String(action.type)}`)
  // The table above pairs each type with the codec of that very type, so this codec takes this action.
  return codec as ActionCodec<ListedAction>
}

/** Writes a list of actions. Throws OpenFlowEncodeError. */
export function encodeActions(
  writer: ByteWriter,
  actions: readonly ListedAction[],
  version: OpenFlowVersion,
): void {
  for (const action of actions) codecOf(action).encode(action, writer, version)
}

/** One action in ovs-ofctl syntax. Throws OpenFlowEncodeError. */
export function formatAction(action: ListedAction): string {
  return codecOf(action).format(action)
}

/** Equal for two actions exactly if the switch cannot tell them apart. Throws OpenFlowEncodeError. */
export function canonicalAction(action: ListedAction): string {
  return codecOf(action).canonical(action)
}

const ACTION_HEADER_BYTES = 4
const ACTION_ALIGNMENT_BYTES = 8

/** Reads actions up to the end of the reader. Throws OpenFlowDecodeError, or its Unsupported kind. */
export function decodeActions(reader: ByteReader): ListedAction[] {
  const actions: ListedAction[] = []
  while (reader.remaining > 0) actions.push(decodeAction(reader))
  return actions
}

function decodeAction(reader: ByteReader): ListedAction {
  const type = reader.u16()
  const length = reader.u16()
  if (length < ACTION_ALIGNMENT_BYTES || length % ACTION_ALIGNMENT_BYTES !== 0) {
    throw new OpenFlowDecodeError(`action ${type} of ${length} bytes`)
  }
  const body = reader.sub(length - ACTION_HEADER_BYTES)
  const key = actionKey(type, body)
  const decoder = decoders.get(key)
  if (decoder === undefined) throw new OpenFlowUnsupportedError(`action ${key}`)
  const action = decoder.decode(body)
  if (action.type === 'goto') throw new TypeError('goto is an instruction')
  if (body.remaining >= ACTION_ALIGNMENT_BYTES) {
    throw new OpenFlowDecodeError(`action ${key} is ${body.remaining} bytes too long`)
  }
  return action
}

function actionKey(type: number, body: ByteReader): string {
  if (type !== OFPAT_EXPERIMENTER) return `${type}`
  const experimenter = body.u32()
  const subtype = body.u16()
  return experimenter === EXPERIMENTER_NICIRA
    ? `nicira ${subtype}`
    : `experimenter 0x${experimenter.toString(16)} ${subtype}`
}
