// breaks: level
export const lost = 1
