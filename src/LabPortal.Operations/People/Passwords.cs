using LabPortal.Domain;
using LabPortal.Domain.People;
using Microsoft.AspNetCore.Identity;
using Microsoft.Extensions.Options;

namespace LabPortal.Operations.People;

/// <summary>Which passwords are good enough, and their hashes (ASP.NET Core Identity's: PBKDF2 with HMAC-SHA512).</summary>
internal static class Passwords
{
    public const int Shortest = 12;

    // A bound on the work that a stranger can ask for.
    private const int Longest = 256;

    // The count that OWASP's Password Storage Cheat Sheet names for PBKDF2-HMAC-SHA512.
    private static readonly PasswordHasher<string> s_hasher = new(Options.Create(new PasswordHasherOptions { IterationCount = 210_000 }));

    private static readonly Lazy<string> s_nobodys = new(() => Hash(SecretText.New()));

    /// <summary>The commonest passwords that are long enough to pass the first rule, from published lists of leaked ones.</summary>
    private static readonly HashSet<string> s_common = new(StringComparer.OrdinalIgnoreCase)
    {
        "123456789012", "1234567890123", "1234567890123456", "12345678901234567890", "123456123456", "123123123123", "123412341234", "112233445566",
        "121212121212", "012345678910", "0123456789012", "987654321098", "1q2w3e4r5t6y", "1q2w3e4r5t6y7u", "1qaz2wsx3edc", "1qaz2wsx3edc4rfv", "zaq12wsxcde3",
        "q1w2e3r4t5y6", "qwertyuiop12", "qwertyuiop123", "qwertyuiop[]", "qwertyuiopasdfghjkl", "qwertyqwerty", "qwerty123456", "qwerty1234567", "asdfghjkl123",
        "asdfasdfasdf", "abcdefghijkl", "abcdefghijklmnopqrstuvwxyz", "abcd1234abcd", "abc123abc123", "abcabcabcabc", "abcdef123456", "password1234", "password12345",
        "password123456", "password123!", "password1234!", "passwordpassword", "password2024", "password2025", "password2026", "p@ssw0rd1234", "p@ssword1234",
        "passw0rd1234", "mypassword123", "changeme1234", "changemechangeme", "changeme123!", "letmeinletmein", "letmein12345", "welcome12345", "welcome123456",
        "welcomewelcome", "administrator", "administrator1", "adminadminadmin", "admin1234567", "admin12345678", "adminpassword", "administrator123", "rootrootroot",
        "iloveyou1234", "iloveyouiloveyou", "iloveyou12345", "iloveyouforever", "trustno1trustno1", "correcthorsebatterystaple", "correct horse battery staple",
        "monkeymonkey", "dragondragon", "footballfootball", "baseballbaseball", "princessprincess", "sunshine1234", "superman1234", "unbelievable", "mynameisjohn",
        "thisisapassword", "secretsecret", "secretpassword", "testtesttest", "test12345678", "testpassword", "defaultpassword", "temppassword", "temporary123",
        "manchesterunited", "liverpoolfc1", "christopher1", "hello1234567", "hellohello12", "whatthefuck1", "fuckyoufuckyou", "zxcvbnmasdfghjkl", "zxcvbnm12345",
        "googlegoogle", "facebook1234", "labportal123", "labportallabportal", "labportal1234",
    };

    public static string Hash(string password) => s_hasher.HashPassword("", password);

    public static PasswordVerificationResult Verify(string hash, string password)
        => password.Length > Longest ? PasswordVerificationResult.Failed : s_hasher.VerifyHashedPassword("", hash, password);

    /// <summary>As much work as a check, for where there is nothing to check against: the time tells nobody whether an account is there.</summary>
    public static void VerifyNobodys(string password) => Verify(s_nobodys.Value, password);

    /// <summary>Every rule that this password breaks.</summary>
    public static IEnumerable<FieldError> Check(string field, string password, string? name, string? email)
    {
        if (password.Length < Shortest) yield return new(field, "password.too-short", [("min", Shortest)]);
        if (password.Length > Longest) yield return new(field, "password.too-long", [("max", Longest)]);
        if (new[] { name, email, email?.Split('@')[0] }.Any(own => own is not null && own.Trim().Equals(password.Trim(), StringComparison.OrdinalIgnoreCase)))
            yield return new(field, "password.is-name");
        if (s_common.Contains(password) || (password.Length > 0 && password.Distinct().Count() < 3)) yield return new(field, "password.common");
    }
}
