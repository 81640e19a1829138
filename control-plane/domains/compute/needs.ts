import type { HostId, ImageId, ProjectId } from '@nubo/base'
import type { StreamTicket } from '@nubo/contracts'
import type { StreamRequest } from '@nubo/contracts/host'
import type { ImageDisk } from '../../world/index.ts'
import type { Caller } from '../identity/index.ts'

export interface ResolvedImage {
  readonly id: ImageId
  readonly name: string
  readonly repository: string
  readonly digest: string
  /** Null: it holds containers. */
  readonly disk: ImageDisk | null
}

/** What instances need of images: a name becomes a digest when one is admitted. */
export interface ImageResolver {
  /** NOT_FOUND names the image. */
  resolve(project: ProjectId, nameOrId: string): ResolvedImage
}

/** What exec and logs need: a stream between a caller and the host of a set; it ends when the caller may no longer. */
export interface StreamBroker {
  open(asked: {
    hostId: HostId
    setId: string
    caller: Caller
    request: StreamRequest
  }): StreamTicket
}
