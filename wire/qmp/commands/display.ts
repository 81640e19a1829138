import type { Fields } from '../fields.ts'
import { deed, listOf, question } from './command.ts'

/** VNC and pictures of the screen (qapi/ui.json). */
export const displayCommands = {
  'query-vnc-servers': question(
    listOf((fields) => ({
      id: fields.string('id'),
      auth: fields.string('auth'),
      listeners: fields.list('server', (server) => ({
        ...readEnd(server),
        auth: server.string('auth'),
      })),
      clients: fields.list('clients', readEnd),
    })),
  ),
  /** Refused unless the display was started with a password. `display` is the id of a VNC server. */
  set_password: deed<{
    readonly protocol: 'vnc' | 'spice'
    readonly password: string
    readonly connected?: 'keep' | 'fail' | 'disconnect'
    readonly display?: string
  }>(),
  /** `time`: `now`, `never`, `+SECONDS`, or seconds since 1970. */
  expire_password: deed<{
    readonly protocol: 'vnc' | 'spice'
    readonly time: string
    readonly display?: string
  }>(),
  /** QEMU writes the file, with its own rights; `device` is the id of a display device. */
  screendump: deed<{
    readonly filename: string
    readonly device?: string
    readonly head?: number
    readonly format?: 'ppm' | 'png'
  }>(),
}

function readEnd(fields: Fields) {
  return {
    host: fields.string('host'),
    /** The port, or what a Unix socket has instead. */
    service: fields.string('service'),
    family: fields.oneOf('family', ['ipv4', 'ipv6', 'unix', 'vsock', 'unknown']),
    isWebSocket: fields.boolean('websocket'),
  }
}
