#!/usr/bin/env bash
# For the tests that look at the pages: installs Debian's Chromium, with a font for Korean, where root runs this and
# there is none. Never fails: without it those tests are skipped, and say so.
for name in chromium chromium-browser google-chrome; do
    command -v "$name" >/dev/null && exit 0
done
if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
    echo "Chromium is not installed: the tests that look at the pages are skipped."
    exit 0
fi
echo "Installing Chromium, for the tests that look at the pages."
export DEBIAN_FRONTEND=noninteractive
if ! { timeout 120 apt-get update -qq && timeout 300 apt-get install -qq -y chromium fonts-noto-cjk; } >/dev/null 2>&1; then
    echo "apt-get could not install Chromium: the tests that look at the pages are skipped."
fi
exit 0
