namespace LabPortal.Data;

/// <summary>The names of the database's rules that people can run into.</summary>
public static class Rules
{
    public const string OneLiveRun = "runs_one_live_per_lab";
    public const string PersonEmail = "people_email_key";
    public const string TeamName = "teams_name_key";
    public const string PoolName = "pools_name_key";
    public const string SshKeyOnce = "ssh_keys_once";
    public const string WebhookOnce = "webhooks_once";
    public const string IdempotencyKey = "idempotency_pkey";
}
