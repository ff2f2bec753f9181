"""Notifier: tells people over Telegram, Slack, Discord, webhooks and email what is wrong."""
