import type { HostId, ImageId, ProjectId } from '@nubo/base'
import type { StreamTicket } from '@nubo/contracts'
import type { StreamRequest } from '@nubo/contracts/host'
import type { Caller } from '../identity/index.ts'

/** What sets need of images: a name becomes a digest when the set is admitted. */
export interface ImageResolver {
  /** NOT_FOUND names the image. */
  resolve(
    project: ProjectId,
    nameOrId: string,
  ): { id: ImageId; name: string; repository: string; digest: string }
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
