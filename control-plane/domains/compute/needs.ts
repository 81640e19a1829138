import type { HostId, ImageId, ProjectId, TokenId } from '@nubo/base'
import type { StreamTicket } from '@nubo/contracts'
import type { StreamRequest } from '@nubo/contracts/host'

/** What sets need of images: a name becomes a digest when the set is admitted. */
export interface ImageResolver {
  /** NOT_FOUND names the image. */
  resolve(
    project: ProjectId,
    nameOrId: string,
  ): { id: ImageId; name: string; repository: string; digest: string }
}

/** What exec and logs need: a stream between a caller and the host of a set; it ends with the caller's token. */
export interface StreamBroker {
  open(asked: {
    hostId: HostId
    setId: string
    tokenId: TokenId
    request: StreamRequest
  }): StreamTicket
}
