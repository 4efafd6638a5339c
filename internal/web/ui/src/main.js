import { mount } from "svelte";
import "./page.css";
import App from "./App.svelte";
import { lab } from "./lib/lab.svelte.js";

mount(App, { target: document.getElementById("app") });
lab.listen();
