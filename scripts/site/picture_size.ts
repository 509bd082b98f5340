/**
 * The size of a picture in PNG (https://www.w3.org/TR/png-3/#11IHDR), so that the text below it stays in its
 * place while it loads.
 *
 * @returns pixels; undefined for other formats
 */
export function pictureSize(octets: Uint8Array): { width: number; height: number } | undefined {
  const view = new DataView(octets.buffer, octets.byteOffset, octets.byteLength);
  if (octets.length < 24 || view.getUint32(0) !== 0x89504e47) return undefined;
  return { width: view.getUint32(16), height: view.getUint32(20) };
}
