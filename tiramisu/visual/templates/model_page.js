// What people press: photos come in, from files and from the camera, and masks go out.
"use strict";

const CAMERA_SIDE = 480; // longer side of the pictures that a live camera gives the network
const video = find("video");

let camera = null; // the stream of a live camera
let latest = 0; // number of the last photo: answers to older ones are dropped

// Photos.

async function openFile(file) {
  if (!file) return;
  stopCamera();
  document.body.dataset.state = "busy";
  let image;
  try {
    // Values as they are in the file: the network was trained on these.
    image = await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  } catch {
    document.body.dataset.state = "problem";
    showTrouble(`${file.name || "This"} is no picture that this browser can read; try a JPEG or a PNG.`);
    return;
  }
  const name = (file.name || "photo").replace(/\.[^.]*$/, "");
  draw(image, image.width, image.height);
  image.close();
  await predictShown(name, Number(find("longest").value));
}

async function predictShown(name, longest) {
  const number = ++latest;
  const { width, height } = shown;
  showTrouble("");
  const isLive = camera !== null;
  if (!isLive) {
    photo = { name, width, height, mask: null };
    document.body.dataset.state = "busy";
    document.body.classList.add("has-photo");
    find("result").hidden = false;
    find("status").textContent = "Computing ...";
    paint();
  }
  const { data } = shown.getContext("2d").getImageData(0, 0, width, height);
  try {
    const answer = await compute(
      { pixels: data, width, height, longest }, (share) => showTiles(number, share));
    if (number !== latest) return;
    photo = { name, width, height, mask: answer.mask || null };
    showAnswer(answer);
    document.body.dataset.state = isLive ? "live" : "done";
  } catch (error) {
    if (number !== latest) return;
    document.body.dataset.state = "problem";
    find("status").textContent = "";
    showTrouble(`The photo could not be computed: ${error.message}. Try a smaller size.`);
  } finally {
    if (number === latest) find("tiles").hidden = true;
  }
}

function showTiles(number, share) {
  if (number !== latest) return;
  find("tiles").hidden = false;
  find("tiles").value = share;
}

// The camera.

async function startCamera() {
  if (!navigator.mediaDevices?.getUserMedia) {
    showTrouble("This browser gives no camera to this page. Open the page as a file or by https.");
    return;
  }
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch (error) {
    const isDenied = error.name === "NotAllowedError";
    showTrouble(isDenied
      ? "The camera may not be used: allow it for this page."
      : `No camera can be used (${error.name}): connect one, and close other programs that use it.`);
    return;
  }
  stopCamera();
  camera = stream;
  video.srcObject = stream;
  await video.play();
  showCamera(true);
  document.body.dataset.state = "busy";
  // One picture after the other, each as soon as the last one is done.
  while (camera === stream && document.body.dataset.state !== "problem") {
    const scale = Math.min(1, CAMERA_SIDE / Math.max(video.videoWidth, video.videoHeight));
    draw(video, Math.round(video.videoWidth * scale), Math.round(video.videoHeight * scale));
    await predictShown("camera", 0);
    await new Promise(requestAnimationFrame);
  }
}

function showCamera(isLive) {
  find("shoot").hidden = find("stop").hidden = !isLive;
  find("camera").disabled = isLive;
  find("save-mask").hidden = find("save-overlay").hidden = isLive || isClassifier;
  find("longest-label").hidden = isLive || isClassifier || settings.size !== null;
  if (isLive) {
    document.body.classList.add("has-photo");
    find("result").hidden = false;
  }
}

function stopCamera() {
  camera?.getTracks().forEach((track) => track.stop());
  camera = null;
  showCamera(false);
}

// The picture of the camera in its own size, as a photo.
async function shoot() {
  draw(video, video.videoWidth, video.videoHeight);
  stopCamera();
  await predictShown("camera", Number(find("longest").value));
}

// What is pressed.

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

find("choose").onclick = () => find("file").click();
find("file").onchange = (event) => {
  openFile(event.target.files[0]);
  event.target.value = ""; // the same file may be chosen again
};
find("camera").onclick = startCamera;
find("stop").onclick = stopCamera;
find("shoot").onclick = shoot;
find("longest").onchange = () => photo && predictShown(photo.name, Number(find("longest").value));
find("opacity").oninput = () => {
  find("opacity-text").textContent = `${find("opacity").value} %`;
  paint();
};
find("save-mask").onclick = async () => {
  const blob = await encodeMask(photo.mask, photo.height, photo.width, settings.colors);
  save(blob, `${photo.name}_mask.png`);
};
find("save-overlay").onclick = () => {
  canvas.toBlob((blob) => save(blob, `${photo.name}_overlay.png`), "image/png");
};
canvas.onpointermove = canvas.onpointerdown = point;
canvas.onpointerleave = () => point({ clientX: -1e6, clientY: -1e6 });
for (const name of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    find("drop").classList.toggle("over", name === "dragover");
    if (name === "drop" && !find("main").hidden) openFile(event.dataTransfer.files[0]);
  });
}
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length && !find("main").hidden) openFile(event.clipboardData.files[0]);
});

for (const element of document.querySelectorAll(".for-pixels")) element.hidden = isClassifier;
find("legend-title").textContent = isClassifier ? "The most probable classes" : "Classes";
showCamera(false);
if (!window.missing.length) load().catch(fail);
