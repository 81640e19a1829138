export { DhcpDecodeError, DhcpEncodeError, DhcpError, type RefusalReason } from './errors.ts'
export {
  decodeMessage,
  droppedFirst,
  encodeMessage,
  MESSAGE_BYTES_MAX,
  type DhcpMessage,
  type EncodeLimits,
} from './message.ts'
export type { DhcpOptions, MessageType, OptionName } from './options.ts'
export type { ClasslessRoute } from './classless-routes.ts'
export { LEASE_FOREVER_SECONDS, type Binding, type Boot } from './binding.ts'
export { answer, type Answer, type SilentReason } from './answer.ts'
export { CLIENT_PORT, addressReply, SERVER_PORT, type ReplyAddress } from './address-reply.ts'
